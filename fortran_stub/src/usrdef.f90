!> The basin: &namusr_def. A closed basin has a ring of land cells inside the global grid, a cyclic one a land row at both ends.
module usrdef
   use par_kind, only: wp
   use par_oce, only: Ni0glo, Nj0glo, jpk, jpmaxlay
   use dom_oce, only: l_Iperio, e3t_0, gred
   use lib_mpp, only: ctl_stop
   use in_out_manager, only: lwp, numout
   use namread, only: nam_next, nam_check, nam_where, cnam, cerr
   implicit none
   private
   public :: usr_def_nam, usr_def_wet

   integer, public :: nn_nx = 48                !< wet cells along i
   integer, public :: nn_ny = 48                !< wet cells along j
   real(wp), public :: rn_dx = 40000._wp        !< cell width [m]
   logical, public :: ln_cyclic = .false.       !< east-west cyclic
   real(wp), public :: rn_f0 = 7.e-5_wp         !< Coriolis parameter at mid-basin [s-1]
   real(wp), public :: rn_beta = 2.e-11_wp      !< its gradient [m-1 s-1]
   integer :: nn_layers = 2
   real(wp) :: rn_H(jpmaxlay) = -1._wp
   real(wp) :: rn_gred(jpmaxlay) = -1._wp
   real(wp), public :: rn_pert = 0._wp          !< amplitude of the initial thickness noise [m]
   integer, public :: nn_seed = 1               !< its seed

contains

   !> Read &namusr_def; size of the global grid, layers.
   subroutine usr_def_nam()
      namelist /namusr_def/ nn_nx, nn_ny, rn_dx, ln_cyclic, rn_f0, rn_beta, nn_layers, rn_H, rn_gred, rn_pert, nn_seed
      integer :: ios, jk
      character(len=8) :: cl

      rn_H(1:2) = [500._wp, 750._wp]
      rn_gred(1:2) = 0.008_wp
      do while (nam_next('namusr_def'))
         read (cnam, namusr_def, iostat=ios, iomsg=cerr)
         call nam_check(ios, cerr)
      end do
      if (nn_nx < 2) call ctl_stop('the basin must be at least 2 cells wide.', nam_where('namusr_def', 'nn_nx'))
      if (nn_ny < 2) call ctl_stop('the basin must be at least 2 cells long.', nam_where('namusr_def', 'nn_ny'))
      if (.not. rn_dx > 0._wp) call ctl_stop('the cell width must be positive.', nam_where('namusr_def', 'rn_dx'))
      if (nn_layers < 1 .or. nn_layers > jpmaxlay) then
         write (cl, '(i0)') jpmaxlay
         call ctl_stop('the number of layers must lie between 1 and '//trim(cl)//'.', nam_where('namusr_def', 'nn_layers'))
      end if
      do jk = 1, nn_layers
         write (cl, '(i0)') jk
         if (.not. rn_H(jk) > 0._wp) call ctl_stop('layer '//trim(cl)//' needs a positive resting thickness.', &
         &  nam_where('namusr_def', 'rn_H'), 'Give one number per layer, nn_layers of them.')
         if (.not. rn_gred(jk) > 0._wp) &
         &  call ctl_stop('the interface below layer '//trim(cl)//' needs a positive reduced gravity.', &
         &  nam_where('namusr_def', 'rn_gred'), 'Give one number per layer, nn_layers of them.')
      end do

      jpk = nn_layers
      Ni0glo = nn_nx + merge(0, 2, ln_cyclic)
      Nj0glo = nn_ny + 2
      l_Iperio = ln_cyclic
      allocate (e3t_0(jpk), gred(jpk))
      e3t_0(:) = rn_H(1:jpk)
      gred(:) = rn_gred(1:jpk)
      if (lwp) write (numout, '(3(a,i0),a,f0.1,a,l1)') ' usr_def_nam: ', nn_nx, ' x ', nn_ny, ' wet cells, ', jpk, &
      &  ' layers, dx = ', rn_dx, ' m, cyclic ', ln_cyclic
   end subroutine usr_def_nam

   !> True where the global cell (ki, kj) is ocean; columns of a cyclic grid repeat.
   elemental logical function usr_def_wet(ki, kj)
      integer, intent(in) :: ki, kj   !< global column and row, from 1
      usr_def_wet = kj > 1 .and. kj < Nj0glo .and. (l_Iperio .or. (ki > 1 .and. ki < Ni0glo))
   end function usr_def_wet
end module usrdef
