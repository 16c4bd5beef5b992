!> NetCDF input: every rank opens the file and reads its own interior.
module iomget
   use netcdf, only: nf90_open, nf90_close, nf90_inq_varid, nf90_inquire_variable, nf90_inquire_dimension, nf90_get_var, &
   &  nf90_get_att, nf90_strerror, NF90_NOWRITE, NF90_NOERR, NF90_GLOBAL, NF90_MAX_VAR_DIMS
   use par_kind, only: wp, dp
   use par_oce, only: Ni0glo, Nj0glo, Ni_0, Nj_0, Nis0, Nie0, Njs0, Nje0
   use dom_oce, only: nimpp, njmpp
   use lib_mpp, only: ctl_stop
   use in_out_manager, only: lc
   implicit none
   private
   public :: iom_open, iom_has, iom_get, iom_get0, iom_get_att, iom_nrec, iom_get_time, iom_shut

   character(len=lc) :: cpath = ' '   ! the file that is open, for messages

contains

   !> Open a file for reading.
   subroutine iom_open(cdpath, kid, cdtodo)
      character(len=*), intent(in) :: cdpath
      integer, intent(out) :: kid
      character(len=*), intent(in) :: cdtodo   !< what to do when it cannot be opened
      integer :: istat
      logical :: ll
      cpath = cdpath
      inquire (file=cdpath, exist=ll)
      if (.not. ll) call ctl_stop("file '"//trim(cdpath)//"' does not exist.", cdtodo)
      istat = nf90_open(cdpath, NF90_NOWRITE, kid)
      if (istat /= NF90_NOERR) call ctl_stop("file '"//trim(cdpath)//"' cannot be read: "//trim(nf90_strerror(istat))//'.', &
      &  'It is no NetCDF file, or it is truncated. '//cdtodo)
   end subroutine iom_open

   !> True when the open file has this variable.
   logical function iom_has(kid, cdname)
      integer, intent(in) :: kid
      character(len=*), intent(in) :: cdname
      integer :: ivar
      iom_has = nf90_inq_varid(kid, cdname, ivar) == NF90_NOERR
   end function iom_has

   !> Read the interior of a field; its sizes must be those of the grid.
   subroutine iom_get(kid, cdname, ptab, krec)
      integer, intent(in) :: kid
      character(len=*), intent(in) :: cdname
      real(wp), intent(inout) :: ptab(:, :, :)   !< (jpi, jpj, levels); halos are left alone
      integer, intent(in) :: krec                !< record
      integer :: ivar, istat, idims, jd, jk, ids(NF90_MAX_VAR_DIMS), ilen(4), iwant(3)
      real(dp) :: zbuf(Ni_0, Nj_0)
      character(len=160) :: cl

      if (nf90_inq_varid(kid, cdname, ivar) /= NF90_NOERR) &
      &  call ctl_stop("file '"//trim(cpath)//"' has no variable '"//cdname//"'.", 'Is it a file of this model?')
      call test(nf90_inquire_variable(kid, ivar, ndims=idims, dimids=ids), cdname)
      iwant = [Ni0glo, Nj0glo, size(ptab, 3)]
      ilen(:) = 1
      do jd = 1, min(idims, 4)
         call test(nf90_inquire_dimension(kid, ids(jd), len=ilen(jd)), cdname)
      end do
      if (size(ptab, 3) == 1 .and. idims == 3) ilen(3:4) = [1, ilen(3)]    ! (x, y, time)
      if (any(ilen(:3) /= iwant)) then
         write (cl, '(a,3(i0,1x),a,3(i0,1x),a)') 'In the file (x y layer): ', ilen(:3), ' the namelist asks for: ', iwant, &
         &  ' (the ring of land included).'
         call ctl_stop("variable '"//cdname//"' of file '"//trim(cpath)//"' has the wrong size.", cl, &
         &  'Set nn_nx, nn_ny, cn_bnd and nn_layers of &namusr_def to the grid of the file.')
      end if
      do jk = 1, size(ptab, 3)
         if (size(ptab, 3) == 1 .and. idims == 3) then
            istat = nf90_get_var(kid, ivar, zbuf, start=[nimpp, njmpp, krec], count=[Ni_0, Nj_0, 1])
         else
            istat = nf90_get_var(kid, ivar, zbuf, start=[nimpp, njmpp, jk, krec], count=[Ni_0, Nj_0, 1, 1])
         end if
         call test(istat, cdname)
         ptab(Nis0:Nie0, Njs0:Nje0, jk) = real(zbuf, wp)
      end do
   end subroutine iom_get

   !> Read a number: a variable without dimensions, or the first value of one with.
   real(dp) function iom_get0(kid, cdname)
      integer, intent(in) :: kid
      character(len=*), intent(in) :: cdname
      integer :: ivar
      if (nf90_inq_varid(kid, cdname, ivar) /= NF90_NOERR) &
      &  call ctl_stop("file '"//trim(cpath)//"' has no variable '"//cdname//"'.", 'Is it a file of this kind?')
      call test(nf90_get_var(kid, ivar, iom_get0), cdname)
   end function iom_get0

   !> Read a global number.
   real(dp) function iom_get_att(kid, cdname)
      integer, intent(in) :: kid
      character(len=*), intent(in) :: cdname
      if (nf90_get_att(kid, NF90_GLOBAL, cdname, iom_get_att) /= NF90_NOERR) &
      &  call ctl_stop("file '"//trim(cpath)//"' has no attribute '"//cdname//"'.", 'It is no restart of this model.')
   end function iom_get_att

   !> Number of records: length of the last dimension of a variable.
   integer function iom_nrec(kid, cdname)
      integer, intent(in) :: kid
      character(len=*), intent(in) :: cdname
      integer :: ivar, idims, ids(NF90_MAX_VAR_DIMS)
      if (nf90_inq_varid(kid, cdname, ivar) /= NF90_NOERR) &
      &  call ctl_stop("file '"//trim(cpath)//"' has no variable '"//cdname//"'.")
      call test(nf90_inquire_variable(kid, ivar, ndims=idims, dimids=ids), cdname)
      call test(nf90_inquire_dimension(kid, ids(idims), len=iom_nrec), cdname)
   end function iom_nrec

   !> time_counter of a record; the number of the record where there is none.
   real(dp) function iom_get_time(kid, krec)
      integer, intent(in) :: kid, krec
      integer :: ivar
      real(dp) :: zt(1)
      iom_get_time = real(krec, dp)
      if (nf90_inq_varid(kid, 'time_counter', ivar) /= NF90_NOERR) return
      call test(nf90_get_var(kid, ivar, zt, start=[krec], count=[1]), 'time_counter')
      iom_get_time = zt(1)
   end function iom_get_time

   !> Close.
   subroutine iom_shut(kid)
      integer, intent(in) :: kid
      call test(nf90_close(kid), 'the file')
   end subroutine iom_shut

   subroutine test(kstat, cdname)
      integer, intent(in) :: kstat
      character(len=*), intent(in) :: cdname
      if (kstat /= NF90_NOERR) call ctl_stop("variable '"//cdname//"' of file '"//trim(cpath)//"' cannot be read: "// &
      &  trim(nf90_strerror(kstat))//'.', 'Is the file complete?')
   end subroutine test
end module iomget
