!> Increments from a file in NEMO's form: waiting for it, reading it, refusing what cannot be an increment of this state.
module asmget
   use, intrinsic :: iso_c_binding, only: c_int
   use, intrinsic :: ieee_arithmetic, only: ieee_is_nan
   use mpi, only: MPI_INTEGER, MPI_STATUS_IGNORE, MPI_Ibcast, MPI_Test, MPI_Wtime
   use par_kind, only: wp, dp, i8
   use par_oce, only: jpi, jpj, jpk, Nis0, Nie0, Njs0, Nje0
   use dom_oce, only: mig, mjg, tmask, umask, vmask, gred, grav, rn_hmin
   use asmpar, only: ln_trainc, ln_dyninc, ln_thkinc, ln_sshinc, rn_asmwait
   use daymod, only: rdate_of
   use lbclnk, only: lbc_lnk
   use iomget, only: iom_open, iom_has, iom_get, iom_get0, iom_shut
   use lib_mpp, only: ctl_stop, cp_abort, l_oldabort, mpi_comm_oce
   use in_out_manager, only: lc, lwp, numout, numerr
   use namread, only: nam_where
   implicit none
   private
   public :: inc_alloc, asm_get, asm_wait, asm_thickness

   !> Increments, or tendencies, of one state: with halos.
   type, public :: t_inc
      real(wp), allocatable, dimension(:, :, :) :: u, v   ! velocity [m s-1]
      real(wp), allocatable, dimension(:, :, :) :: h      ! thickness [m]
      real(wp), allocatable, dimension(:, :, :) :: t      ! temperature, one level [degC]
   end type t_inc

   real(wp), parameter :: rp_nothing = 1.e10_wp   ! beyond it a value is a fill value: no increment
   real(wp), parameter :: rp_maxu = 10._wp        ! largest increment of velocity [m s-1]
   real(wp), parameter :: rp_maxt = 30._wp        ! largest increment of temperature [degC]
   integer, parameter :: jp_nap = 1000            ! between two looks for a file [microseconds]

   interface
      integer(c_int) function c_usleep(kmicro) bind(c, name='usleep')
         import :: c_int
         implicit none
         integer(c_int), value :: kmicro
      end function c_usleep
   end interface

contains

   !> Allocate, all zero.
   subroutine inc_alloc(inc)
      type(t_inc), intent(inout) :: inc
      allocate (inc%u(jpi, jpj, jpk), inc%v(jpi, jpj, jpk), inc%h(jpi, jpj, jpk), inc%t(jpi, jpj, 1))
      inc%u = 0._wp; inc%v = 0._wp; inc%h = 0._wp; inc%t = 0._wp
   end subroutine inc_alloc

   !> Wait until the file is there, at most rn_asmwait. Rank 0 looks, the others sleep until it tells them.
   subroutine asm_wait(cdpath)
      character(len=*), intent(in) :: cdpath
      integer, parameter :: jp_there = 0, jp_late = 1, jp_aborted = 2
      integer, asynchronous :: istate
      integer :: ireq, ierr, inum, ios
      integer(c_int) :: iret
      logical :: ll
      real(dp) :: zt0
      character(len=lc) :: cl

      zt0 = MPI_Wtime()
      istate = jp_there
      do while (lwp)
         inquire (file=cdpath, exist=ll)
         if (ll) exit
         inquire (file=cp_abort, exist=ll)
         if (ll .and. .not. l_oldabort) istate = jp_aborted
         if (MPI_Wtime() - zt0 > real(rn_asmwait, dp)) istate = jp_late
         if (istate /= jp_there) exit
         iret = c_usleep(int(jp_nap, c_int))
      end do
      call MPI_Ibcast(istate, 1, MPI_INTEGER, 0, mpi_comm_oce, ireq, ierr)
      do
         call MPI_Test(ireq, ll, MPI_STATUS_IGNORE, ierr)
         if (ll) exit
         iret = c_usleep(int(jp_nap, c_int))
      end do
      if (istate == jp_late) then
         write (cl, '(a,f0.1,a)') 'within rn_asmwait = ', rn_asmwait, ' s.'
         call ctl_stop("the increments of this window did not come: no file '"//trim(cdpath)//"' "//trim(cl), &
         &  nam_where('nam_asminc', 'rn_asmwait'), &
         &  'Does the program that makes them run, in this directory? It writes the file under another name and renames it.')
      else if (istate == jp_aborted) then
         if (lwp) then
            open (newunit=inum, file=cp_abort, status='old', action='read', iostat=ios)
            if (ios == 0) read (inum, '(a)', iostat=ios) cl
            if (ios /= 0) cl = '(nothing)'
            write (numout, '(5a)') "gyre: error: stopped while it waited for '", trim(cdpath), "': ", cp_abort//' says: ', trim(cl)
            write (numerr, '(5a)') "gyre: error: stopped while it waited for '", trim(cdpath), "': ", cp_abort//' says: ', trim(cl)
            flush (numout)
            flush (numerr)
         end if
         call ctl_stop('stopped by '//cp_abort)
      end if
   end subroutine asm_wait

   !> Read what &nam_asminc asks for, check it, make its halos valid. Every rank reads its own part.
   subroutine asm_get(cdpath, kt, ldend, inc)
      character(len=*), intent(in) :: cdpath
      integer, intent(in) :: kt          !< step at whose end the background stands
      logical, intent(in) :: ldend       !< the window must end there, else hold that date
      type(t_inc), intent(inout) :: inc
      integer :: id
      real(wp) :: zeta(jpi, jpj, 1)

      call iom_open(cdpath, id, 'It is the file of the increments that ln_asmdin or ln_asmiau of &nam_asminc adds.')
      call check_date(cdpath, id, kt, ldend)
      if (ln_dyninc) then
         call field('bckinu', 'ln_dyninc', inc%u, umask, rp_maxu, 'm s-1')
         call field('bckinv', 'ln_dyninc', inc%v, vmask, rp_maxu, 'm s-1')
      end if
      if (ln_thkinc) call field('bckinthk', 'ln_thkinc', inc%h, tmask, rp_nothing, 'm')
      if (ln_sshinc) then   ! eta = sum over k of g(k) (h(1)+...+h(k)) / 9.81: h(1) is in every term
         zeta(:, :, :) = 0._wp
         call field('bckineta', 'ln_sshinc', zeta, tmask, rp_nothing, 'm')
         inc%h(:, :, :) = 0._wp
         inc%h(:, :, 1) = zeta(:, :, 1)*(grav/sum(gred))
      end if
      if (ln_trainc) call field('bckint', 'ln_trainc', inc%t, tmask, rp_maxt, 'degC')
      call iom_shut(id)
      call lbc_lnk('asm_get', inc%u, 'U', -1._wp, inc%v, 'V', -1._wp, inc%h, 'T', 1._wp, inc%t, 'T', 1._wp)
      if (lwp) write (numout, '(2a)') ' asm_get: ', trim(cdpath)

   contains

      subroutine field(cdname, cdswitch, ptab, pmask, pmax, cdunits)
         character(len=*), intent(in) :: cdname, cdswitch, cdunits
         real(wp), intent(inout) :: ptab(:, :, :)
         real(wp), intent(in) :: pmask(:, :, :)
         real(wp), intent(in) :: pmax
         integer :: ji, jj, jk
         if (.not. iom_has(id, cdname)) call ctl_stop("file '"//trim(cdpath)//"' has no variable '"//cdname//"', which "// &
         &  cdswitch//' asks for.', nam_where('nam_asminc', cdswitch), &
         &  'Set '//cdswitch//' = .false., or write '//cdname//' ['//cdunits//'] into the file.')
         call iom_get(id, cdname, ptab, 1)
         do jk = 1, size(ptab, 3)
            do jj = Njs0, Nje0
               do ji = Nis0, Nie0
                  if (.not. pmask(ji, jj, jk) > 0._wp) then
                     ptab(ji, jj, jk) = 0._wp
                  else if (ieee_is_nan(ptab(ji, jj, jk))) then
                     call absurd(cdname, ji, jj, jk, 'is not a number.', 'Fill gaps with 0, or with a value beyond 1e10.')
                  else if (abs(ptab(ji, jj, jk)) > rp_nothing) then
                     ptab(ji, jj, jk) = 0._wp
                  else if (abs(ptab(ji, jj, jk)) > pmax) then
                     call absurd(cdname, ji, jj, jk, say(ptab(ji, jj, jk), cdunits)//', at most '//say(pmax, cdunits)// &
                     &  ' is allowed.', 'It must be analysis minus background, of one window, in '//cdunits//'.')
                  end if
               end do
            end do
         end do
      end subroutine field

      subroutine absurd(cdname, ki, kj, kk, cdwhat, cdtodo)
         character(len=*), intent(in) :: cdname, cdwhat, cdtodo
         integer, intent(in) :: ki, kj, kk
         call ctl_stop("the increment '"//cdname//"' of file '"//trim(cdpath)//"'", place(ki, kj, kk)//': '//cdwhat, cdtodo)
      end subroutine absurd
   end subroutine asm_get

   !> Stop when the increment would make a layer thinner than rn_hmin.
   subroutine asm_thickness(cdpath, pe3t, pinc)
      character(len=*), intent(in) :: cdpath
      real(wp), intent(in), dimension(:, :, :) :: pe3t, pinc   !< now thickness and its increment [m]
      integer :: ji, jj, jk
      do jk = 1, jpk
         do jj = Njs0, Nje0
            do ji = Nis0, Nie0
               if (pe3t(ji, jj, jk) + pinc(ji, jj, jk) >= rn_hmin) cycle
               call ctl_stop("the increment of thickness (bckinthk or bckineta) of file '"//trim(cdpath)// &
               &  "' makes a layer outcrop", &
               &  place(ji, jj, jk)//': thickness '//say(pe3t(ji, jj, jk), 'm')//', increment '//say(pinc(ji, jj, jk), 'm')// &
               &  ', least allowed (rn_hmin) '//say(rn_hmin, 'm')//'.', &
               &  'It must be analysis minus background; limit it where the analysis is made.')
            end do
         end do
      end do
   end subroutine asm_thickness

   !> The file must be of this window: z_inc_datef is the date of the background that ends it.
   subroutine check_date(cdpath, kid, kt, ldend)
      character(len=*), intent(in) :: cdpath
      integer, intent(in) :: kid, kt
      logical, intent(in) :: ldend
      real(dp) :: zbegin, zend, znow
      logical :: ll
      zbegin = iom_get0(kid, 'z_inc_dateb')
      zend = iom_get0(kid, 'z_inc_datef')
      znow = rdate_of(kt)
      if (ldend) then
         ll = second_of(zend) == second_of(znow) .and. second_of(zbegin) <= second_of(zend)
      else
         ll = second_of(zbegin) <= second_of(znow) .and. second_of(znow) <= second_of(zend)
      end if
      if (ll) return
      call ctl_stop("file '"//trim(cdpath)//"' holds the increments of another window: from "//date(zbegin)//' to '// &
      &  date(zend)//' (z_inc_dateb, z_inc_datef).', &
      &  'They are to be added to the state of '//date(znow)//', which must '// &
      &  trim(merge('be the end of the window.       ', 'lie in the window or at its end.', ldend)), &
      &  'Dates are YYYYMMDD.HHMMSS. Take the file of this window, or correct the steps in &nam_asminc.')
   contains
      pure integer(i8) function second_of(pdate)
         real(dp), intent(in) :: pdate
         second_of = nint(1.e6_dp*pdate, i8)
      end function second_of
      function date(pdate) result(cd)
         real(dp), intent(in) :: pdate
         character(len=15) :: cd
         write (cd, '(f15.6)') pdate
      end function date
   end subroutine check_date

   function place(ki, kj, kk) result(cd)
      integer, intent(in) :: ki, kj, kk   ! local cell
      character(len=:), allocatable :: cd
      character(len=60) :: cl
      write (cl, '(3(a,i0),a)') 'at (i,j,k) = (', mig(ki), ',', mjg(kj), ',', kk, ')'
      cd = trim(cl)
   end function place

   function say(pval, cdunits) result(cd)
      real(wp), intent(in) :: pval
      character(len=*), intent(in) :: cdunits
      character(len=:), allocatable :: cd
      character(len=24) :: cl
      write (cl, '(g0.5)') pval
      cd = trim(cl)//' '//cdunits
   end function say
end module asmget
